"""A small real script for each of some thirty libraries, and what must come of it: text, pictures, files read back."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any, Callable, Dict, List, NamedTuple

Check = Callable[[str, Dict[str, bytes]], None]


class Script(NamedTuple):
    """A script for one library."""

    library: str
    code: str
    check: Check
    files: List[str] = []


def prints(expected: str) -> Check:
    """Return a check that a script has printed just this, and nothing more."""

    def check(stdout: str, files: Dict[str, bytes]) -> None:
        assert stdout == expected, stdout

    return check


def picture(width: int, height: int, colours: int) -> Check:
    """Return a check of a PNG: its size, and that something is drawn on it."""

    def check(stdout: str, files: Dict[str, bytes]) -> None:
        from PIL import Image

        (content,) = files.values()
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size) == ("PNG", (width, height))
            assert len(image.convert("RGB").getcolors(1 << 20) or []) >= colours

    return check


def archive(member: str, *words: bytes) -> Check:
    """Return a check of a file that is a ZIP archive, as office documents are: what one of its members contains."""

    def check(stdout: str, files: Dict[str, bytes]) -> None:
        (content,) = files.values()
        with zipfile.ZipFile(io.BytesIO(content)) as document:
            text = document.read(member)
        assert all(word in text for word in words), text[:500]

    return check


def starts(*prefixes: bytes) -> Check:
    """Return a check of the first bytes of each file, in the order of their names."""

    def check(stdout: str, files: Dict[str, bytes]) -> None:
        found = [files[name] for name in sorted(files)]
        assert [content[: len(prefix)] for content, prefix in zip(found, prefixes)] == list(prefixes)

    return check


def _table(stdout: str, files: Dict[str, bytes]) -> None:
    rows = list(csv.reader(io.StringIO(files["sums.csv"].decode())))
    assert rows == [["kind", "amount"], ["a", "4"], ["b", "2"]] and stdout == "6\n"


def _plotly(stdout: str, files: Dict[str, bytes]) -> None:
    figure: Any = json.loads(files["figure.json"])
    assert figure["data"][0]["y"] == [1, 4, 9] or "bdata" in figure["data"][0]["y"]


SCRIPTS = [
    Script(
        "pandas",
        "import pandas as pd\nframe = pd.DataFrame({'kind': list('aba'), 'amount': [1, 2, 3]})\n"
        "sums = frame.groupby('kind').amount.sum()\nsums.to_csv('sums.csv')\nprint(sums.sum())",
        _table,
        ["sums.csv"],
    ),
    Script(
        "matplotlib",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [1, 4, 9], 'r')\nplt.title('squares')\n"
        "plt.savefig('chart.png', dpi=100)",
        picture(640, 480, 50),
        ["chart.png"],
    ),
    Script(
        "matplotlib",
        "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2])\n"
        "for kind in ('pdf', 'svg'):\n    plt.savefig('chart.' + kind)",
        starts(b"%PDF-", b"<?xml"),
        ["chart.pdf", "chart.svg"],
    ),
    Script(
        "mpl_toolkits",
        "import matplotlib.pyplot as plt\nfrom mpl_toolkits.mplot3d import Axes3D\n"
        "axes = plt.figure().add_subplot(projection='3d')\naxes.plot([0, 1], [0, 1], [0, 2])\n"
        "print(isinstance(axes, Axes3D), axes.get_zlim()[1] >= 2)",
        prints("True True\n"),
    ),
    Script(
        "mpmath",
        "import mpmath\nmpmath.mp.dps = 30\nprint(mpmath.zeta(2), mpmath.quad(lambda x: x, [0, 1]))",
        prints("1.64493406684822643647241516665 0.5\n"),
    ),
    Script(
        "joblib",
        "from joblib import Parallel, delayed, dump, load\ndump({'a': 1}, 'm.joblib')\n"
        "print(load('m.joblib'), Parallel(n_jobs=2, prefer='threads')(delayed(abs)(-n) for n in range(3)))",
        prints("{'a': 1} [0, 1, 2]\n"),
    ),
    Script(
        "sklearn",
        "from sklearn.datasets import make_classification\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.model_selection import cross_val_score\nX, y = make_classification(60, random_state=1)\n"
        "model = RandomForestClassifier(5, n_jobs=-1, random_state=1)\n"
        "print(cross_val_score(model, X, y, cv=3, n_jobs=-1).mean() > 0.6)",
        prints("True\n"),
    ),
    Script(
        "dateutil",
        "from datetime import datetime\nfrom dateutil.relativedelta import relativedelta\nimport dateutil.parser\n"
        "print(dateutil.parser.parse('31 January 2024') + relativedelta(months=1))",
        prints("2024-02-29 00:00:00\n"),
    ),
    Script(
        "scipy",
        "from scipy import integrate, optimize, stats\nprint(round(optimize.brentq(lambda x: x * x - 2, 0, 2), 6),"
        " round(integrate.quad(lambda x: x, 0, 1)[0], 6), round(float(stats.norm.cdf(1.96)), 4))",
        prints("1.414214 0.5 0.975\n"),
    ),
    Script(
        "sympy",
        "import sympy\nx = sympy.Symbol('x')\nprint(sympy.integrate(sympy.sin(x), x), sympy.solve(x**2 - 4, x),"
        " sympy.lambdify(x, x**2)(3), sympy.nsolve(sympy.cos(x) - x, 1))",
        prints("-cos(x) [-2, 2] 9 0.739085133215161\n"),
    ),
    Script(
        "sklearn",
        "from sklearn.linear_model import LinearRegression\nfrom sklearn.model_selection import train_test_split\n"
        "from sklearn.datasets import load_iris\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "print(round(float(LinearRegression().fit([[0], [1], [2]], [1, 3, 5]).coef_[0]), 6))\n"
        "x, y = load_iris(return_X_y=True)\na, b, c, d = train_test_split(x, y, random_state=0)\n"
        "print(RandomForestClassifier(10, random_state=0).fit(a, c).score(b, d) > 0.9)",
        prints("2.0\nTrue\n"),
    ),
    Script(
        "seaborn",
        "import seaborn as sns, pandas as pd, matplotlib.pyplot as plt\n"
        "sns.lineplot(pd.DataFrame({'x': [1, 2, 3], 'y': [3, 1, 2]}), x='x', y='y')\nplt.savefig('line.png', dpi=100)",
        picture(640, 480, 50),
        ["line.png"],
    ),
    Script(
        "statsmodels",
        "import numpy as np, statsmodels.api as sm\nx = np.arange(10.0)\n"
        "print(sm.OLS(2 * x + 1, sm.add_constant(x)).fit().params.round(6).tolist())",
        prints("[1.0, 2.0]\n"),
    ),
    Script(
        "networkx",
        "import networkx as nx\ngraph = nx.path_graph(5)\nprint(nx.shortest_path(graph, 0, 4), nx.pagerank(graph)[2] > 0.2)",
        prints("[0, 1, 2, 3, 4] True\n"),
    ),
    Script(
        "openpyxl",
        "import openpyxl\nbook = openpyxl.Workbook()\nbook.active.append(['name', 'Zoë'])\nbook.save('book.xlsx')\n"
        "print(openpyxl.load_workbook('book.xlsx').active['B1'].value)",
        archive("xl/worksheets/sheet1.xml", b"name"),
        ["book.xlsx"],
    ),
    Script(
        "xlsxwriter",
        "import xlsxwriter\nbook = xlsxwriter.Workbook('book.xlsx')\nsheet = book.add_worksheet('Sums')\n"
        "sheet.write_row(0, 0, [1, 2, 3])\nsheet.write_formula('D1', '=SUM(A1:C1)')\n"
        "chart = book.add_chart({'type': 'line'})\nchart.add_series({'values': '=Sums!$A$1:$C$1'})\n"
        "sheet.insert_chart('F1', chart)\nbook.close()",
        archive("xl/worksheets/sheet1.xml", b"SUM(A1:C1)"),
        ["book.xlsx"],
    ),
    Script(
        "docx",
        "import docx\ndocument = docx.Document()\ndocument.add_heading('Report')\ndocument.add_paragraph('Zoë')\n"
        "document.save('report.docx')",
        archive("word/document.xml", "Zoë".encode(), b"Report"),
        ["report.docx"],
    ),
    Script(
        "pptx",
        "from pptx import Presentation\ndeck = Presentation()\nslide = deck.slides.add_slide(deck.slide_layouts[0])\n"
        "slide.shapes.title.text = 'Hello'\ndeck.save('deck.pptx')",
        archive("ppt/slides/slide1.xml", b"Hello"),
        ["deck.pptx"],
    ),
    Script(
        "pypdf",
        "import io, pypdf\nfrom fpdf import FPDF\npdf = FPDF()\npdf.add_page()\npdf.set_font('helvetica', size=12)\n"
        "pdf.cell(text='Hello PDF')\nreader = pypdf.PdfReader(io.BytesIO(bytes(pdf.output())))\n"
        "print(len(reader.pages), reader.pages[0].extract_text())",
        prints("1 Hello PDF\n"),
    ),
    Script(
        "lxml",
        "from lxml import etree, html\nprint(etree.fromstring('<a><b>1</b></a>').findtext('b'),"
        " html.fromstring('<p>x<b>y</b>').text_content())",
        prints("1 xy\n"),
    ),
    Script(
        "bs4",
        "from bs4 import BeautifulSoup\nprint([a['href'] for a in BeautifulSoup('<a href=x>1</a><a href=y>2</a>',"
        " 'html.parser').select('a')], BeautifulSoup('<p>z', 'lxml').p.text)",
        prints("['x', 'y'] z\n"),
    ),
    Script(
        "yaml",
        "import yaml\nprint(yaml.safe_load('a: [1, 2]'), yaml.safe_dump({'b': None}).strip())",
        prints("{'a': [1, 2]} b: null\n"),
    ),
    Script(
        "tabulate",
        "from tabulate import tabulate\nprint(tabulate([['x', 1]], headers=['k', 'v'], tablefmt='github'))",
        prints("| k   |   v |\n|-----|-----|\n| x   |   1 |\n"),
    ),
    Script(
        "qrcode",
        "import qrcode\nqrcode.make('https://example.org', box_size=4, border=2).save('code.png')",
        picture(116, 116, 2),
        ["code.png"],
    ),
    Script(
        "plotly",
        "import plotly.express as px\npx.line(x=[1, 2, 3], y=[1, 4, 9]).write_json('figure.json')",
        _plotly,
        ["figure.json"],
    ),
    Script(
        "imageio",
        "import imageio.v3 as iio, numpy as np\niio.imwrite('a.png', np.zeros((4, 5, 3), np.uint8))\n"
        "print(iio.imread('a.png').shape)",
        prints("(4, 5, 3)\n"),
    ),
    Script(
        "PIL",
        "from PIL import Image, ImageDraw\nimage = Image.new('RGB', (30, 20))\n"
        "ImageDraw.Draw(image).ellipse((2, 2, 20, 18), 'red')\nimage.show()",
        picture(30, 20, 2),
        ["figure-1.png"],
    ),
    Script(
        "matplotlib",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        picture(640, 480, 50),
        ["figure-1.png"],
    ),
    Script(
        "reportlab",
        "from reportlab.pdfgen import canvas\npage = canvas.Canvas('page.pdf')\npage.drawString(50, 50, 'x')\npage.save()",
        starts(b"%PDF-"),
        ["page.pdf"],
    ),
    Script(
        "fpdf",
        "from fpdf import FPDF\npdf = FPDF()\npdf.add_page()\npdf.output('page.pdf')",
        starts(b"%PDF-"),
        ["page.pdf"],
    ),
    Script("numpy", "import numpy as np\nnp.arange(3).tofile('a')\nprint(np.fromfile('a', int).sum())", prints("3\n")),
    Script(
        "polars",
        "import polars as pl\nprint(pl.DataFrame({'a': [1, 2, 3]}).select(pl.col('a').sum()).item())",
        prints("6\n"),
    ),
    Script(
        "pyarrow",
        "import pyarrow as pa, pyarrow.parquet as pq\npq.write_table(pa.table({'a': [1, 2]}), 'a.parquet')\n"
        "print(pq.read_table('a.parquet').to_pydict())",
        prints("{'a': [1, 2]}\n"),
    ),
    Script(  # its readers wake their threads by pipes
        "pyarrow",
        "import pyarrow.csv as csv\nopen('a.csv', 'w').write('a,b\\n1,2\\n')\nprint(csv.read_csv('a.csv').to_pydict())",
        prints("{'a': [1], 'b': [2]}\n"),
    ),
    Script(
        "psutil",  # /proc has no more than it needs for this
        "import psutil\nmemory = psutil.virtual_memory()\n"
        "print(memory.total >= memory.available > 0, psutil.cpu_count() > 0)",
        prints("True True\n"),
    ),
    Script("duckdb", "import duckdb\nprint(duckdb.sql('select 6 * 7').fetchall())", prints("[(42,)]\n")),
    Script(
        "cv2",
        "import cv2, numpy as np\nprint(cv2.GaussianBlur(np.full((5, 5), 9, np.uint8), (3, 3), 0).mean())",
        prints("9.0\n"),
    ),
    Script(
        "wordcloud",
        "from wordcloud import WordCloud\nWordCloud(width=200, height=100).generate('a bb ccc dddd').to_file('cloud.png')",
        picture(200, 100, 3),
        ["cloud.png"],
    ),
    Script(
        "pymupdf",
        "import pymupdf\ndocument = pymupdf.open()\ndocument.new_page().insert_text((50, 50), 'Hello')\n"
        "document.save('a.pdf')\nprint(pymupdf.open('a.pdf')[0].get_text().strip())",
        prints("Hello\n"),
    ),
]
