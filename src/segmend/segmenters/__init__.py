"""Networks from image to logits, and how to predict with them."""
