import cmath
import decimal
import fractions
import math
import numbers
import statistics

D = decimal.Decimal
print(D("0.1") + D("0.2"), D(1) / D(7), decimal.getcontext().prec, D("1e3").normalize(), round(D("2.675"), 2))
with decimal.localcontext() as context:
    context.prec = 50
    print(D(2).sqrt())
print(fractions.Fraction(1, 3) + fractions.Fraction("0.25"), fractions.Fraction(3.5).limit_denominator())
print(statistics.mean([1, 2, 3, 4]), statistics.stdev([1, 2, 4]), statistics.median([3, 1, 2]), statistics.mode("aab"))
print(math.factorial(30), math.gcd(12, 18), math.isclose(0.1 + 0.2, 0.3), math.inf, math.nan, math.fsum([0.1] * 10), cmath.sqrt(-1))
print(isinstance(D(1), numbers.Number), 7 // -2, -7 % 3, divmod(-7, 2), round(2.5), 0.1 + 0.2, 1e16 + 1, 5e-324)
D("x")
