"""The economics of one block: parameters, tastes, inversion."""
