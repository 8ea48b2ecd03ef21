"""The five resources of the API: what each request does."""
