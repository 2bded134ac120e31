"""Files on disk: atomic writes, digests, sizes, tensors, COCO JSON and run-length masks."""
