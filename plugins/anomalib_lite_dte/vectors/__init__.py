"""The estimator for vectors: its closed form, its networks, and scikit-learn's conventions around both."""
