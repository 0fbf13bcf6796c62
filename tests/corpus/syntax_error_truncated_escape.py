path = "C:\Users"
