text = “smart quotes”
