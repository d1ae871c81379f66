"""Archives as Python's zipfile writes them. Run here: python3 make_zip.py"""
import zipfile

text = "".join(f"line {i:4d}\n" for i in range(200)).encode()
for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED), ("bzip2", zipfile.ZIP_BZIP2)]:
    with zipfile.ZipFile(name + ".zip", "w", method) as archive:
        info = zipfile.ZipInfo("folder/text.txt", date_time=(2024, 1, 1, 0, 0, 0))
        info.compress_type = method
        archive.writestr(info, text[:200] if name == "stored" else text)
        archive.writestr(zipfile.ZipInfo("folder/empty.txt", date_time=(2024, 1, 1, 0, 0, 0)), b"")
