"""Writers of files for other programs: prompt folders, models, classifiers, COCO JSON, webdataset tars."""
