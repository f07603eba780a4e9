"""The workflow: TMDB films and ratings, clustered on SageMaker, offline or on AWS."""
