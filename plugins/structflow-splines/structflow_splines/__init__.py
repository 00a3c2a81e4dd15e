"""B-splines, Fourier series, radial and rational functions as candidates on the edges of structflow."""
