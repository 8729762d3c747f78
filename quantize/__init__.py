"""Full weights in, smaller weights out."""
