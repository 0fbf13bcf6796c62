#!/usr/bin/env python
# second
# -*- coding: latin-1 -*-
print(ascii('ü'))
