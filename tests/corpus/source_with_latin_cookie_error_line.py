# coding=latin-1
x = 'ü'; 1 / 0
