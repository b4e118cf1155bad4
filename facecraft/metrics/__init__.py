"""Measures of pictures, faces and videos, each by its published definition; what needs absent weights says how to get them."""
