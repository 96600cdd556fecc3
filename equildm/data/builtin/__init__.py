"""Built-in data sets, which need no files of yours."""

from .emoji import EmojiSource as EmojiSource
from .fashion_mnist import FashionMNISTSource as FashionMNISTSource
from .photographs import PhotographSource as PhotographSource
from .shapes import ShapesSource as ShapesSource
from .tinted import TintedEmoji as TintedEmoji
