"""Loaded tree ensembles into routes to ONNX: scikit-learn, XGBoost and LightGBM."""
