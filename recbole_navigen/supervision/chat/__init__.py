"""Teachers and judges that are language models, local ones and those behind an endpoint."""
