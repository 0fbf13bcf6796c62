// The ready examples. Each fills in the whole form and runs as it is, where there is what it needs.

export const EXAMPLES = [
  {
    title: 'Hello',
    code: `from datetime import datetime, timezone

now = datetime.now(timezone.utc)
print(f"Hello! It is {now:%H:%M} UTC on {now:%A}.")
print(f"The sum is {10 + 25}")
`,
  },
  {
    title: 'Standard input',
    code: `import sys

name = sys.stdin.readline().strip()
numbers = [int(line) for line in sys.stdin]

print(f"Hello, {name}!")
print(f"{len(numbers)} numbers, their sum is {sum(numbers)}.")
`,
    stdin: 'Ada\n3\n14\n15\n92\n',
  },
  {
    title: 'Text file',
    code: `from collections import Counter
import re

with open("input.txt", encoding="utf-8") as file:
    text = file.read()

words = Counter(re.findall(r"[a-z']+", text.lower()))
for word, count in words.most_common(5):
    print(f"{word:<8}{count:>3}  {'#' * count}")

with open("result.txt", "w", encoding="utf-8") as file:
    file.write(text.upper())
`,
    attach: async () => [new File([POEM], 'input.txt', { type: 'text/plain' })],
    returnFiles: ['result.txt'],
  },
  {
    title: 'Photo',
    code: `from PIL import Image

with Image.open("input_photo.jpg") as photo:
    print(f"A {photo.format} of {photo.width} by {photo.height} pixels, {photo.mode}")
    photo.convert("L").save("output_grayscale.png")
`,
    attach: async () => [await samplePhoto()],
    returnFiles: ['output_grayscale.png'],
  },
  {
    title: 'Plot',
    code: `from math import cos, radians, sin
from PIL import Image, ImageDraw, ImageFont

W, H, PAD = 640, 400, 48
SCALE = 3  # for smooth lines
WAVES = {"sin": (sin, "#0b6b52"), "cos": (cos, "#c4561e")}

image = Image.new("RGB", (W * SCALE, H * SCALE), "white")
draw = ImageDraw.Draw(image)
font = ImageFont.load_default(13 * SCALE)


def at(degrees, y):
    x = PAD + degrees / 360 * (W - 2 * PAD)
    return x * SCALE, (H / 2 - y * (H / 2 - PAD)) * SCALE


for y in (-1, -0.5, 0, 0.5, 1):
    shade = "#888" if y == 0 else "#ddd"
    draw.line([at(0, y), at(360, y)], fill=shade, width=SCALE)
    draw.text(at(-5, y), f"{y:g}", "#555", font, anchor="rm")
for degrees in range(0, 361, 90):
    draw.line([at(degrees, -1), at(degrees, 1)], "#ddd", SCALE)
    draw.text(at(degrees, -1.06), f"{degrees}°", "#555", font, anchor="mt")

for number, (name, (wave, colour)) in enumerate(WAVES.items()):
    points = [at(x / 2, wave(radians(x / 2))) for x in range(721)]
    draw.line(points, colour, 3 * SCALE, joint="curve")
    draw.text(at(180, 0.95 - number * 0.14), name, colour, font, anchor="mt")

image.resize((W, H), Image.LANCZOS).save("plot.png")
print(f"plot.png: {W} by {H} pixels")
`,
    returnFiles: ['plot.png'],
  },
  {
    title: 'PDF',
    code: `from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

ITEMS = [("Coffee, 1 kg", 2, 18.90), ("Filters", 3, 4.20), ("Kettle", 1, 49.00)]

total = sum(count * price for _, count, price in ITEMS)
rows = [["Item", "Count", "Price", "Sum"]]
for name, count, price in ITEMS:
    rows.append([name, count, f"{price:.2f}", f"{count * price:.2f}"])
rows.append(["Total", "", "", f"{total:.2f}"])

table = Table(rows, colWidths=[230, 60, 70, 70], hAlign="LEFT")
table.setStyle([
    ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
    ("LINEBELOW", (0, 0), (-1, 0), 1, colors.black),
    ("LINEABOVE", (0, -1), (-1, -1), 0.5, colors.grey),
    ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
])

style = getSampleStyleSheet()
SimpleDocTemplate("invoice.pdf", pagesize=A4).build([
    Paragraph("Invoice", style["Title"]),
    Spacer(1, 16),
    table,
])
print(f"invoice.pdf, total {total:.2f}")
`,
    returnFiles: ['invoice.pdf'],
  },
  {
    title: 'NumPy',
    code: `import numpy as np

rng = np.random.default_rng(7)
x = np.linspace(0, 10, 50)
y = 2.5 * x + 4 + rng.normal(0, 1.5, x.size)

slope, offset = np.polyfit(x, y, 1)
rest = y - (slope * x + offset)
print(f"y = {slope:.3f} x + {offset:.3f}, R² = {1 - rest.var() / y.var():.4f}")

matrix = np.array([[4, 1, 0], [1, 3, 1], [0, 1, 2]])
values, vectors = np.linalg.eigh(matrix)
print("\\nEigenvalues:", values.round(4))
print("Put together again:")
print((vectors @ np.diag(values) @ vectors.T).round(6))
`,
  },
  {
    title: 'Chart',
    needs: ['matplotlib'],
    code: `import matplotlib.pyplot as plt

months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]
plt.bar(months, [62, 48, 55, 41, 38, 30], color="#0b6b52")
plt.title("Rain, mm")
plt.show()
`,
  },
  {
    title: 'Spreadsheet',
    needs: ['pandas', 'openpyxl'],
    code: `import pandas as pd

sales = pd.DataFrame({
    "city": ["Oslo", "Rome", "Oslo", "Rome"],
    "year": [2023, 2023, 2024, 2024],
    "sold": [120, 95, 140, 130],
})
table = sales.pivot_table("sold", "city", "year")
print(table)
table.to_excel("sales.xlsx")
`,
    returnFiles: ['sales.xlsx'],
  },
];

const POEM = `The fog comes
on little cat feet.

It sits looking
over harbor and city
on silent haunches
and then moves on.
`; // Carl Sandburg, "Fog", 1916; in the public domain

// Draw a landscape and return it as a JPEG file.
function samplePhoto() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 320 });
  const draw = canvas.getContext('2d');
  draw.fillStyle = '#8fb3d9';
  draw.fillRect(0, 0, 480, 320);
  hill(draw, '#7d8fb3', 178, 26, 90);
  hill(draw, '#2c5a45', 262, 22, 43);
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(new File([blob], 'input_photo.jpg', { type: 'image/jpeg' })), 'image/jpeg', 0.85);
  });
}

function hill(draw, colour, level, height, width) {
  draw.fillStyle = colour;
  draw.beginPath();
  draw.moveTo(0, 320);
  for (let x = 0; x <= 480; x += 4) draw.lineTo(x, level - height * (Math.sin(x / width + level) + 0.4 * Math.sin(x / 23)));
  draw.lineTo(480, 320);
  draw.fill();
}
