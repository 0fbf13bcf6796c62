print("Grüße, 世界, 🐍, \u00e9 vs e\u0301, \u202eright-to-left, \x00 nul, \x1b escape, \u2028 line separator")
print(ascii("ü🐍"), repr("ü\n\ud800"), len("🐍"))
naïve = "identifier"
ﬁ = 1  # normalised to "fi"
print(naïve, fi, "\N{GREEK SMALL LETTER ALPHA}")
