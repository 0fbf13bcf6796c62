# attach: input.jpg "this is no picture"
from PIL import Image

Image.open("input.jpg")
