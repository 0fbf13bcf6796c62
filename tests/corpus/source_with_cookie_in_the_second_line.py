#!/usr/bin/env python
# -*- coding: cp1252 -*-
print(ascii('ü'))
