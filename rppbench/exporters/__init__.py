"""Writers of files for other programs: prompt folders, classifiers, COCO JSON, webdataset tars."""
