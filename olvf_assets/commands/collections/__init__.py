"""Public collections of films, downloaded by a user, as folders that a hospital could have handed over."""
