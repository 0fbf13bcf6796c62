# files: out.png out.jpg out.bmp out.gif
from PIL import Image, ImageDraw, ImageFilter, ImageFont

image = Image.new("RGB", (64, 48), "navy")
draw = ImageDraw.Draw(image)
draw.ellipse((5, 5, 40, 40), fill=(255, 200, 0), outline="white")
draw.line([(0, 0), (63, 47)], fill="red", width=3)
draw.text((2, 30), "Hi", font=ImageFont.load_default(), fill="white")
image.save("out.png")
image.convert("L").resize((32, 24)).filter(ImageFilter.BLUR).save("out.jpg", quality=80)
image.rotate(90, expand=True).save("out.bmp")
image.quantize(8).save("out.gif")
print(image.size, image.mode, image.getpixel((20, 20)), Image.open("out.png").format, Image.open("out.jpg").size)
