# files: out.pdf
from reportlab.lib import colors
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

document = SimpleDocTemplate("out.pdf", invariant=1)
style = getSampleStyleSheet()["Normal"]
table = Table([["a", "b"], [1, 2]])
table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 1, colors.black)]))
document.build([Paragraph("Some <b>bold</b> text", style), table])
