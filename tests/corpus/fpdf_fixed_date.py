# files: out.pdf
import datetime

from fpdf import FPDF

pdf = FPDF()
pdf.set_creation_date(datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc))
pdf.add_page()
pdf.set_font("Helvetica", size=16)
pdf.cell(40, 10, "Hello World!")
pdf.output("out.pdf")
print(pdf.page_no())
