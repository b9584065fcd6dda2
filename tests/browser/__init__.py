"""Driving a real browser: the hosts of the gallery, accessibility, and screenshots."""
