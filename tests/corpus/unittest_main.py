import unittest


class Case(unittest.TestCase):
    def test_good(self):
        self.assertEqual(1, 1)

    def test_bad(self):
        self.assertEqual(1, 2)


if __name__ == "__main__":
    result = unittest.main(exit=False, argv=["script.py"], testRunner=unittest.TextTestRunner(stream=open("log.txt", "w"))).result
    print(result.testsRun, len(result.failures), result.wasSuccessful())
