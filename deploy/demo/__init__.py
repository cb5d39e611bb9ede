"""The demo: 23,570 real customers of a CD shop, their purchases, and a year of marketing in a minute."""
