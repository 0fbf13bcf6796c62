"""What is known of modules that public scripts often ask for and may not import; `import_advice` speaks of it.

A name may stand in several tables: each adds a sentence.
"""

from __future__ import annotations

# What does the same, the best first, by what people have it for. Only what may be imported is recommended.
INSTEAD = {
    # of the standard library
    "os": "pathlib shutil glob",
    "posix": "pathlib shutil",
    "posixpath": "pathlib",
    "ntpath": "pathlib",
    "genericpath": "pathlib",
    "importlib": "inspect types",
    "imp": "types",
    "pydoc": "inspect",
    "pyclbr": "ast inspect",
    "py_compile": "ast",
    "compileall": "ast",
    "modulefinder": "ast",
    "lib2to3": "ast",
    "parser": "ast",
    "opcode": "dis",
    "tabnanny": "tokenize",
    "multiprocessing": "concurrent threading",
    "subprocess": "pathlib shutil",
    "_thread": "threading",
    "signal": "threading",
    "ctypes": "struct array",
    "mmap": "numpy",
    "marshal": "pickle json",
    "pickletools": "pickle",
    "dbm": "shelve sqlite3",
    "resource": "tracemalloc time",
    "sysconfig": "platform sys",
    "faulthandler": "traceback",
    "cgitb": "traceback",
    "pdb": "traceback",
    "bdb": "traceback",
    "trace": "cProfile traceback",
    "filecmp": "difflib hashlib",
    "stringprep": "unicodedata",
    "encodings": "codecs",
    "sre_compile": "re",
    "sre_parse": "re",
    "formatter": "textwrap",
    "pipes": "shlex",
    "syslog": "logging",
    "netrc": "configparser",
    "mailbox": "email",
    "mailcap": "mimetypes",
    "cgi": "urllib html",
    "nturl2path": "urllib",
    "imghdr": "PIL",
    "sndhdr": "wave",
    "aifc": "wave",
    "sunau": "wave",
    "audioop": "array numpy",
    "crypt": "hashlib",
    "uu": "binascii base64",
    "binhex": "binascii",
    "xdrlib": "struct",
    "zipapp": "zipfile",
    "zipimport": "zipfile",
    "dummy_threading": "threading",
    "test": "unittest",
    "tkinter": "PIL",
    "turtle": "PIL",
    # of others
    "joblib": "concurrent",
    "psutil": "platform tracemalloc",
    "pandas": "csv numpy sqlite3",
    "polars": "csv numpy sqlite3",
    "duckdb": "sqlite3",
    "sqlalchemy": "sqlite3",
    "scipy": "numpy statistics math",
    "sympy": "fractions decimal math",
    "mpmath": "decimal fractions",
    "gmpy2": "decimal fractions",
    "sklearn": "numpy statistics",
    "statsmodels": "numpy statistics",
    "torch": "numpy",
    "tensorflow": "numpy",
    "keras": "numpy",
    "jax": "numpy",
    "numba": "numpy",
    "networkx": "collections heapq graphlib",
    "matplotlib": "PIL reportlab",
    "seaborn": "PIL reportlab",
    "plotly": "PIL reportlab",
    "bokeh": "PIL reportlab",
    "altair": "PIL reportlab",
    "pygame": "PIL",
    "cv2": "PIL numpy",
    "imageio": "PIL",
    "skimage": "PIL numpy",
    "docx": "reportlab fpdf",
    "openpyxl": "csv",
    "xlsxwriter": "csv",
    "fitz": "pypdf pdfplumber PyPDF2",
    "pypdf": "PyPDF2 pdfplumber fitz",
    "PyPDF2": "pypdf pdfplumber fitz",
    "pdfplumber": "pypdf PyPDF2 fitz",
    "xlrd": "csv",
    "weasyprint": "reportlab fpdf",
    "yaml": "json configparser",
    "toml": "tomllib",
    "tomli": "tomllib",
    "simplejson": "json",
    "ujson": "json",
    "orjson": "json",
    "dill": "pickle",
    "cloudpickle": "pickle",
    "lxml": "xml",
    "bs4": "html xml",
    "dateutil": "datetime zoneinfo",
    "pytz": "zoneinfo datetime",
    "arrow": "datetime zoneinfo",
    "pydantic": "dataclasses",
    "attr": "dataclasses",
    "attrs": "dataclasses",
    "pytest": "unittest doctest",
    "tqdm": "time",
    "click": "argparse",
    "typer": "argparse",
    "jinja2": "string",
    "tabulate": "textwrap string",
    "nltk": "re string",
    "regex": "re",
    "rapidfuzz": "difflib",
    "cryptography": "hashlib hmac secrets",
    "Crypto": "hashlib hmac secrets",
    "bcrypt": "hashlib secrets",
    "pillow": "PIL",
    "Pillow": "PIL",
    "Image": "PIL",
    "fpdf2": "fpdf",
    "np": "numpy",
}
# What no other module does, in words.
SAID = {
    "getpass": "Nobody can type a password here: read it with input(), from standard input.",
    "readline": "input() reads standard input, and nobody edits its lines.",
    "code": "exec() runs code, and there is no console.",
    "codeop": "compile() says whether code is complete.",
    "pdb": "Nobody can talk to a debugger here: print() what you want to see.",
    "runpy": "Import the attached module itself.",
    "pkgutil": "Attached files lie in the current directory: open them by name.",
    "fcntl": "No other run writes to these files, so that they need no lock.",
    "pwd": "There are no other users here.",
    "grp": "There are no other users here.",
    "termios": "There is no terminal here.",
    "tty": "There is no terminal here.",
    "IPython": "This is a plain Python script, not a notebook: print() what you want to see.",
    "google": "This isn't Colab, and has no network: files are attached, and opened by name alone.",
    "fitz": "No module here reads PDF files.",
    "pypdf": "No module here reads PDF files.",
    "PyPDF2": "No module here reads PDF files.",
    "pdfplumber": "No module here reads PDF files.",
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Each of these has a reason that is the same for all.
NO_NETWORK = _names(
    "socket ssl select selectors requests httpx urllib3 aiohttp websocket websockets ftplib smtplib imaplib poplib"
    " telnetlib nntplib paramiko boto3 openai anthropic xmlrpc webbrowser asyncore asynchat yfinance selenium"
    " playwright scrapy redis psycopg2 pymysql pymongo"
)
SERVERS = _names(
    "socketserver wsgiref smtpd flask fastapi uvicorn django streamlit gradio dash tornado bottle starlette"
)
NO_PROCESSES = _names("subprocess pty pexpect sh popen2 multiprocessing")
NO_SCREEN = _names(
    "tkinter turtle turtledemo curses idlelib antigravity pygame pyautogui pyglet arcade kivy PyQt5 PyQt6 PySide6 wx"
    " pynput keyboard"
)
WINDOWS = _names("msvcrt winreg winsound msilib nt _winapi win32api win32con win32gui win32com pythoncom pywintypes")
INSTALLERS = _names("pip ensurepip setuptools distutils venv pkg_resources")
# Libraries that an operator may well add, and nobody's own module.
PACKAGES = _names(
    "pandas polars pyarrow duckdb sqlalchemy scipy sympy mpmath sklearn statsmodels xgboost lightgbm catboost"
    " torch torchvision tensorflow keras jax numba transformers datasets spacy nltk gensim networkx shapely geopandas"
    " folium matplotlib seaborn plotly bokeh altair wordcloud qrcode cv2 imageio skimage docx pptx openpyxl xlsxwriter"
    " xlrd weasyprint fitz pypdf PyPDF2 pdfplumber lxml bs4 yaml jinja2 pydantic tabulate regex faker rdkit Bio"
    " astropy pulp ortools cvxpy numexpr h5py"
)
# Of the standard library, though not of every version and system: a newer Python, or an image without screens, has no
# trace of them, and Python 3.8 and 3.9 don't tell the names of theirs.
STANDARD = _names(
    "tkinter turtle turtledemo idlelib curses msvcrt winreg winsound msilib nt _winapi distutils ensurepip venv"
    " lib2to3 imp parser formatter aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt dummy_threading imghdr"
    " macpath mailcap nis nntplib ossaudiodev pipes sndhdr smtpd spwd sunau telnetlib uu xdrlib compression"
    " annotationlib tomllib zoneinfo graphlib dbm readline test antigravity this"
)
