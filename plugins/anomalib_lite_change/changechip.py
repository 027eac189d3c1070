"""The published algorithm, vectorised: windows of differences, PCA, K-means, and the clusters that change."""
