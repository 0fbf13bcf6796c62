def function(**values):
    return values["z"]


function(
    a=1,
    b=[
        2,
    ],
)
