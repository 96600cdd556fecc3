"""Weights and schedulers of other libraries: reading and writing them."""

from .autoencoder import (
    autoencoder_table as autoencoder_table,
    load_vae as load_vae,
    save_vae as save_vae,
    shipped_vae as shipped_vae,
)
from .bert import bert_table as bert_table
from .classifier import load_classifier as load_classifier, save_classifier as save_classifier
from .clip import clip_table as clip_table, openclip_table as openclip_table
from .clip_image import clip_image_table as clip_image_table, load_clip as load_clip
from .dit import load_dit as load_dit, save_dit as save_dit
from .inception import inception_table as inception_table, load_inception as load_inception
from .lora import read_lora as read_lora, save_lora as save_lora
from .lpips import (
    load_alexnet as load_alexnet,
    load_lpips as load_lpips,
    load_vgg16 as load_vgg16,
)
from .mapping import read_weights as read_weights, write_weights as write_weights
from .minilm import load_minilm as load_minilm
from .mmdit import load_mmdit as load_mmdit, save_mmdit as save_mmdit
from .packages import package_folder as package_folder
from .pairs import (
    conv as conv,
    linear as linear,
    norm as norm,
    OIHW as OIHW,
    OUT_IN as OUT_IN,
    OUT_IN_POINTWISE as OUT_IN_POINTWISE,
    Pair as Pair,
    POINTWISE_OUT_IN as POINTWISE_OUT_IN,
    SAME as SAME,
    stacked as stacked,
    Transform as Transform,
)
from .safe_pickle import read_pickled_arrays as read_pickled_arrays
from .safetensors import SafetensorsFile as SafetensorsFile
from .saving import LazyTensors as LazyTensors, save_safetensors as save_safetensors
from .scheduler import Scheduler as Scheduler
from .scheduler_file import load_scheduler as load_scheduler, save_scheduler as save_scheduler
from .scheduler_samplers import Sampling as Sampling
from .sd3_text import load_sd3_text as load_sd3_text, save_sd3_text as save_sd3_text
from .shards import open_weights as open_weights, save_weights as save_weights
from .squeezenet import load_squeezenet as load_squeezenet
from .t5 import t5_table as t5_table
from .text_encoders import (
    load_text_encoder as load_text_encoder,
    save_text_encoder as save_text_encoder,
)
from .unet import load_unet as load_unet, save_unet as save_unet
from .unet_table import unet_table as unet_table
