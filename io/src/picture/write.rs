//! Writes pictures: a PNG of one slice, labels with a palette; a TIFF of a page per slice.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use ndarray::{Array3, Axis};
use tiff::encoder::colortype::{self, ColorType};
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, TiffEncoder, TiffValue};

use super::{Kind, usual_color};
use crate::atomic::write_atomically;
use crate::error::VolumeError;
use crate::output::Output;
use crate::voxels::{ByteOrder, Scalar, StoredType};

/// Writes `voxels` under `path`.
pub(crate) fn write<T: Scalar>(
    path: &Path,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> Result<(), VolumeError> {
    let refuse = |found: String| Err(VolumeError::NoPicture { path: path.to_owned(), found });
    let (depth, height, width) = voxels.dim();
    if u32::try_from(height).is_err() || u32::try_from(width).is_err() {
        return refuse(format!("{width} × {height} pixels"));
    }
    match Kind::of_name(path) {
        Some(Kind::Png) if depth != 1 => refuse(format!("{depth} slices, which a TIFF would take")),
        Some(Kind::Png) if !matches!(T::TYPE, StoredType::U8 | StoredType::U16) => {
            refuse(format!("{} values, which a TIFF would take", T::TYPE.name()))
        }
        Some(Kind::Png) => write_atomically(path, |file| png(file, voxels, output)),
        Some(Kind::Tiff) => write_atomically(path, |file| tiff(file, voxels)),
        _ => Err(VolumeError::OutputName { path: path.to_owned() }),
    }
}

fn png<T: Scalar>(
    file: &mut BufWriter<File>,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> io::Result<()> {
    let (_, height, width) = voxels.dim();
    let values: Vec<T> = voxels.iter().copied().collect();
    let mut bytes = Vec::with_capacity(size_of_val(values.as_slice()));
    T::append_bytes(&values, &mut bytes);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    if T::TYPE == StoredType::U16 {
        encoder.set_depth(png::BitDepth::Sixteen);
        bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    } else {
        encoder.set_depth(png::BitDepth::Eight);
    }
    if output.labels {
        let last = bytes.iter().copied().max().unwrap_or(0);
        let color = |label: u8| {
            output.colors.get(usize::from(label)).copied().unwrap_or_else(|| usual_color(label))
        };
        let palette: Vec<u8> = (0..=last).flat_map(color).collect();
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
    } else {
        encoder.set_color(png::ColorType::Grayscale);
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()?;
    Ok(())
}

fn tiff<T: Scalar>(file: &mut BufWriter<File>, voxels: &Array3<T>) -> io::Result<()> {
    let mut encoder = TiffEncoder::new(file)
        .map_err(io::Error::other)?
        .with_compression(Compression::Deflate(DeflateLevel::Fast));
    for slice in voxels.axis_iter(Axis(0)) {
        let (height, width) = slice.dim();
        let values: Vec<T> = slice.iter().copied().collect();
        let mut bytes = Vec::new();
        T::append_bytes(&values, &mut bytes);
        let size = [width as u32, height as u32];
        match T::TYPE {
            StoredType::U8 => page::<colortype::Gray8>(&mut encoder, size, &bytes),
            StoredType::I8 => page::<colortype::GrayI8>(&mut encoder, size, &bytes),
            StoredType::U16 => page::<colortype::Gray16>(&mut encoder, size, &bytes),
            StoredType::I16 => page::<colortype::GrayI16>(&mut encoder, size, &bytes),
            StoredType::U32 => page::<colortype::Gray32>(&mut encoder, size, &bytes),
            StoredType::I32 => page::<colortype::GrayI32>(&mut encoder, size, &bytes),
            StoredType::U64 => page::<colortype::Gray64>(&mut encoder, size, &bytes),
            StoredType::I64 => page::<colortype::GrayI64>(&mut encoder, size, &bytes),
            StoredType::F32 => page::<colortype::Gray32Float>(&mut encoder, size, &bytes),
            StoredType::F64 => page::<colortype::Gray64Float>(&mut encoder, size, &bytes),
        }?;
    }
    Ok(())
}

fn page<C: ColorType>(
    encoder: &mut TiffEncoder<&mut BufWriter<File>>,
    [width, height]: [u32; 2],
    bytes: &[u8],
) -> io::Result<()>
where
    C::Inner: Scalar,
    [C::Inner]: TiffValue,
{
    let mut values: Vec<C::Inner> = Vec::new();
    C::Inner::extend_from_bytes(&mut values, bytes, ByteOrder::Little);
    encoder.write_image::<C>(width, height, &values).map_err(io::Error::other)
}
