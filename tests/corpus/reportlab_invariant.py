# files: out.pdf
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

page = canvas.Canvas("out.pdf", pagesize=A4, invariant=1)
page.setTitle("Title")
page.drawString(72, 720, "Hello, PDF")
page.circle(200, 500, 50, fill=1)
page.showPage()
page.save()
print("done", A4)
