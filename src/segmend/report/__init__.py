"""Results and the page that shows them."""
