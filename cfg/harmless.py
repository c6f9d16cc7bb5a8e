"""Settings that change neither what is learned nor what is found and measured, each with the reason.

Who compares settings takes what of it is harmless there, and adds what is so there alone: `utils.resume` for
a run that goes on, `evalR.scoring.protocol` and `evalR.scoring.differences` for the record of an evaluation,
`evalR.outputs.kept` for what a repeated call of predict.py finds again.
"""

SPEED = {
    "data.workers": "changes the speed alone",
    "data.prefetch": "changes the speed alone",
    "data.cache_gb": "changes the speed alone",
}
BATCHES = {  # of images that are evaluated, not learned from
    "eval.batch_size": "an image is seen alike whatever stands beside it",
    "predict.batch_size": "as eval.batch_size",
}
SHOWS_ONLY = {  # of all that is found and scored
    "predict.score_threshold": "what predictions.jpg and predict.py show; figures are of all scores",
    "predict.classes": "what predict.py shows",
    "predict.formats": "what predict.py writes",
    "predict.max_picture": "what predict.py draws",
    "predict.crop_margin": "what predict.py writes",
    "predict.crop_limit": "what predict.py writes",
}
ALLOWED = {
    "predict.quiet": "what is said",
    "predict.remote": "what may be opened",
    "predict.vrt_folders": "what may be opened",
    "predict.max_pixels": "what may be opened",
}
EVERYWHERE = SPEED | BATCHES | SHOWS_ONLY | ALLOWED
