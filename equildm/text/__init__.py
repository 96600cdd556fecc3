"""Text encoders and their tokenizers: captions become sequences of vectors."""

from .bert import Bert as Bert, BertConfig as BertConfig, BertLayer as BertLayer
from .clip import (
    CLIPConfig as CLIPConfig,
    CLIPText as CLIPText,
    CLIPTextTower as CLIPTextTower,
)
from .clip_towers import CLIP as CLIP
from .cut_captions import CutCaptions as CutCaptions
from .encoder import (
    AbstractTextEncoder as AbstractTextEncoder,
    embed as embed,
    embed_captions as embed_captions,
    embed_prompts as embed_prompts,
    sentence_embedding as sentence_embedding,
)
from .fingerprint import fingerprint as fingerprint
from .minilm import MiniLM as MiniLM
from .projected_clip import (
    ProjectedCLIP as ProjectedCLIP,
    ProjectedCLIPConfig as ProjectedCLIPConfig,
)
from .sd3_text import SD3Text as SD3Text
from .small import SmallTextEncoder as SmallTextEncoder
from .t5 import T5Config as T5Config, T5Encoder as T5Encoder, T5Text as T5Text
from .text_conditioned import TextConditioned as TextConditioned
from .tokenizer import (
    AbstractTokenizer as AbstractTokenizer,
    ByteTokenizer as ByteTokenizer,
    PretrainedTokenizer as PretrainedTokenizer,
    TokenBatch as TokenBatch,
)
from .tokenizer_files import (
    read_tokenizer as read_tokenizer,
    TOKENIZER_FILES as TOKENIZER_FILES,
    TokenizerKind as TokenizerKind,
)
