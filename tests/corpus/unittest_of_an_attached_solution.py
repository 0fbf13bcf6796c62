# attach: solution.py "def double(n):\n    return n + n\n\ndef broken(n):\n    return n / 0\n"
import io
import unittest

import solution


class Tests(unittest.TestCase):
    def test_double(self):
        self.assertEqual(solution.double(2), 4)

    def test_broken(self):
        with self.assertRaises(ZeroDivisionError):
            solution.broken(1)


stream = io.StringIO()
result = unittest.TextTestRunner(stream=stream).run(unittest.defaultTestLoader.loadTestsFromTestCase(Tests))
print(result.testsRun, result.wasSuccessful())
solution.broken(1)
