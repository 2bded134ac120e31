"""Writers of files for other programs: prompts, models, classifiers, COCO JSON, webdataset tars."""
