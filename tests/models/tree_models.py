"""Small fitted models of scikit-learn, XGBoost and LightGBM; each function is a factory."""

from __future__ import annotations

from typing import Any

import numpy as np

FEATURES = 5


def data(classes: int = 2, *, seed: int = 3, missing: float = 0.0) -> tuple[Any, Any]:
    """Return float32 inputs [400, 5] and labels 0 ... classes - 1; a part of the inputs is NaN."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, FEATURES)).astype(np.float32)
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=len(x))
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    if missing:
        x[rng.random(x.shape) < missing] = np.nan
    return x, y


def target() -> tuple[Any, Any]:
    """Return inputs and a number to regress."""
    x, _ = data()
    return x, 3 * x[:, 0] + np.sin(2 * x[:, 1]) * x[:, 2] + 10


def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, max_depth=6, random_state=0).fit(*data())


def forest3() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    x, y = data(3)
    return RandomForestClassifier(20, max_depth=6, random_state=0).fit(x, np.array(["b", "c", "light"])[y])


def forest_nan() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, max_depth=6, random_state=0).fit(*data(missing=0.1))


def forest_two_outputs() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    x, y = data(3)
    return RandomForestClassifier(7, max_depth=5, random_state=0).fit(x, np.stack([y, y > 0], axis=1))


def forest_regressor() -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(20, max_depth=6, random_state=0).fit(*target())


def forest_regressor2() -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    x, y = target()
    return ExtraTreesRegressor(20, max_depth=6, random_state=0).fit(x, np.stack([y, -y], axis=1))


def tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(*data(3))


def boosting() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=20, random_state=0).fit(*data())


def boosting3() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=10, random_state=0).fit(*data(3))


def boosting_exponential() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=20, loss="exponential", random_state=0).fit(*data())


def boosting_regressor() -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=20, random_state=0).fit(*target())


def histogram() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(*data(missing=0.1))


def histogram3() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(*data(3))


def histogram_regressor() -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=20, loss="gamma", random_state=0).fit(*target())


def xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=20, max_depth=4).fit(*data(missing=0.1))


def xgboost3() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=10, max_depth=4).fit(*data(3))


def xgboost_sentinel() -> Any:
    from xgboost import XGBClassifier

    x, y = data(missing=0.1)
    return XGBClassifier(n_estimators=20, max_depth=4, missing=-999.0).fit(np.nan_to_num(x, nan=-999.0), y)


def xgboost_stopped() -> Any:
    from xgboost import XGBClassifier

    x, y = data(3)
    model = XGBClassifier(n_estimators=60, max_depth=6, early_stopping_rounds=2, learning_rate=1.0)
    return model.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)


def xgboost_dart() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=20, max_depth=4, booster="dart", rate_drop=0.3).fit(*target())


def xgboost_poisson() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=20, max_depth=4, objective="count:poisson").fit(*target())


def xgboost_regressor() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=20, max_depth=4).fit(*target())


def xgboost_two() -> Any:
    from xgboost import XGBRegressor

    x, y = target()
    return XGBRegressor(n_estimators=20, max_depth=4).fit(x, np.stack([y, -y], axis=1))


def xgboost_forest() -> Any:
    from xgboost import XGBRFClassifier

    return XGBRFClassifier(n_estimators=20, max_depth=4).fit(*data(3))


def xgboost_linear() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=5, booster="gblinear").fit(*target())


def xgboost_categories() -> Any:
    import xgboost as xgb

    x, y = categories()
    types = ["c", "q", "q", "q", "q"]
    return xgb.train({"objective": "binary:logistic", "max_depth": 4}, xgb.DMatrix(x, y, feature_types=types), 10)


def categories() -> tuple[Any, Any]:
    """Return inputs whose first column is a category 0 ... 11."""
    x, y = data(missing=0.05)
    codes = np.random.default_rng(1).integers(0, 12, len(x))
    x[:, 0] = codes
    return x, y ^ np.isin(codes, [2, 3, 7, 11])


def lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=20, num_leaves=8, verbose=-1).fit(*data(missing=0.1))


def lightgbm3() -> Any:
    from lightgbm import LGBMClassifier

    x, y = data(3)
    return LGBMClassifier(n_estimators=10, num_leaves=8, verbose=-1).fit(x, np.array(["b", "c", "light"])[y])


def lightgbm_ova() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=10, num_leaves=8, objective="multiclassova", verbose=-1).fit(*data(3))


def lightgbm_regressor() -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=20, num_leaves=8, verbose=-1).fit(*target())


def lightgbm_forest() -> Any:
    from lightgbm import LGBMRegressor

    settings = {"boosting_type": "rf", "subsample": 0.7, "subsample_freq": 1}
    return LGBMRegressor(n_estimators=20, num_leaves=8, verbose=-1, **settings).fit(*target())


def lightgbm_zeros() -> Any:
    from lightgbm import LGBMClassifier

    x, y = data()
    x[np.random.default_rng(0).random(x.shape) < 0.2] = 0
    return LGBMClassifier(n_estimators=20, num_leaves=8, verbose=-1, zero_as_missing=True).fit(x, y)


def lightgbm_categories() -> Any:
    from lightgbm import LGBMClassifier

    x, y = categories()
    model = LGBMClassifier(n_estimators=10, num_leaves=8, verbose=-1, max_cat_to_onehot=1, min_data_per_group=5)
    return model.fit(x, y, categorical_feature=[0])


def lightgbm_linear() -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=5, linear_tree=True, verbose=-1).fit(*target())


def _scaled(last: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), last)


def pipeline() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return _scaled(RandomForestClassifier(20, max_depth=6, random_state=0)).fit(*data(3))


def pipeline_xgboost() -> Any:
    from xgboost import XGBClassifier

    return _scaled(XGBClassifier(n_estimators=10, max_depth=4)).fit(*data(3))


def pipeline_lightgbm() -> Any:
    from lightgbm import LGBMRegressor

    return _scaled(LGBMRegressor(n_estimators=20, num_leaves=8, verbose=-1)).fit(*target())


def pipeline_logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression()).fit(*data(3))


def pipeline_mlp() -> Any:
    from sklearn.neural_network import MLPClassifier

    return _scaled(MLPClassifier((8,), max_iter=60, solver="lbfgs", random_state=0)).fit(*data(3))


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(*data())


def columns() -> Any:
    """A classifier of jets by named columns, one of them a string."""
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = data()
    kind = np.array(["barrel", "endcap", "forward"])[np.random.default_rng(1).integers(0, 3, len(x))]
    frame = pandas.DataFrame({"pt": x[:, 0], "region": kind, "eta": x[:, 1]})
    encode = ColumnTransformer([("number", StandardScaler(), ["pt", "eta"]), ("word", OneHotEncoder(), ["region"])])
    return make_pipeline(encode, GradientBoostingClassifier(n_estimators=10, random_state=0)).fit(frame, y)


def isolation() -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=20, random_state=0).fit(data()[0])


def kmeans() -> Any:
    from sklearn.cluster import KMeans

    return KMeans(3, random_state=0, n_init=1).fit(data()[0])


def pca() -> Any:
    from sklearn.decomposition import PCA

    return PCA(2).fit(data()[0])


def mixture() -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(2, random_state=0).fit(data()[0])


def ridge() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge().fit(*target())


def svm() -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC().fit(*data())


def search() -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(RandomForestClassifier(random_state=0), {"n_estimators": [3, 5]}, cv=2).fit(*data())


def spectral() -> Any:
    from sklearn.manifold import Isomap

    return Isomap().fit(data()[0])


def unfitted() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier()
