raise ValueError("größer 🐍")
