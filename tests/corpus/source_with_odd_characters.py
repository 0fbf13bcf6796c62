# ‮ 󠀁 ￾ ￿ comment
x = '￿􏿿﷐'
print(ascii(x))
é = 1
print(é, 'é' == 'é')
𝐱 = 5
print(x is 𝐱, dir()[-2:])
1 / 0
