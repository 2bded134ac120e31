"""Writing for other programs: prompt folders, classifiers, COCO files, webdataset tars."""
