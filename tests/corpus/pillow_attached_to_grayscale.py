# attach: input.ppm b"P6\n2 2\n255\n\xff\x00\x00\x00\xff\x00\x00\x00\xff\xff\xff\xff"
# files: output_grayscale.png
from PIL import Image

image = Image.open("input.ppm")
print(image.format, image.size)
image.convert("L").save("output_grayscale.png")
