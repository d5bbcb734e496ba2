"""A small shop for coffee gear, made of ordinary HTTP programs that know nothing of the mesh they run in.

frontend → catalog (v1, v2) → inventory → db; frontend → orders → inventory, db and payments, which is
a program outside the mesh. Version 2 of the catalog also asks orders what sells best.
"""
