def function():
    print(later)
    later = 1


function()
