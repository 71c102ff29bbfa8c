//! Pictures of pages for the command that reads them: JPEG as it is in the file, all else as PNG.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hayro_interpret::hayro_syntax::Filter;
use hayro_interpret::kurbo::Affine;
use hayro_interpret::{Image, ImageData};

/// Seconds that the command may take for a picture; it is killed then.
const OCR_SECONDS: u64 = 120;
/// Pixels of a picture; one page of A3 at 600 dots per inch has 70 million.
const PIXELS: u64 = 100 << 20;
/// Bytes of text of a picture.
const TEXT_BYTES: u64 = 4 << 20;

/// A picture in a file format that such commands read.
pub(super) struct Picture(Vec<u8>);

impl Picture {
    /// What is drawn, upright; `None` if it cannot be decoded or has too many pixels.
    pub fn new(image: &Image<'_, '_>, transform: Affine) -> Option<Self> {
        if u64::from(image.width()) * u64::from(image.height()) > PIXELS {
            return None;
        }
        // A row of the picture runs along (a, b) on the page, its columns along (c, d).
        let [a, b, c, d, ..] = transform.as_coeffs();
        let upright = a > 0.0 && d > 0.0 && a.abs() > b.abs();
        let mut png = None;
        match image {
            Image::Raster(raster) => {
                let stream = raster.stream();
                if upright && stream.filters().as_slice() == [Filter::DctDecode] && !stream.dict().contains_key("Decode") {
                    return Some(Self(stream.raw_data().into_owned()));
                }
                raster.with_rgba(
                    |data, _| {
                        let (width, height) = (data.width() as usize, data.height() as usize);
                        png = match data {
                            ImageData::Rgb(rgb) => encode(&rgb.data, 3, width, height, [a, b, c, d]),
                            ImageData::Luma(luma) => encode(&luma.data, 1, width, height, [a, b, c, d]),
                        };
                    },
                    None,
                );
            }
            Image::Stencil(stencil) => stencil.with_stencil(
                |luma, _| {
                    // What the stencil lets through is drawn dark.
                    let dark: Vec<u8> = luma.data.iter().map(|light| 255 - light).collect();
                    png = encode(&dark, 1, luma.width as usize, luma.height as usize, [a, b, c, d]);
                },
                None,
            ),
        }
        png.map(Self)
    }
}

/// PNG of pixels of `depth` bytes, turned as they are drawn: in quarters of a circle.
fn encode(pixels: &[u8], depth: usize, width: usize, height: usize, [a, b, c, d]: [f64; 4]) -> Option<Vec<u8>> {
    if pixels.len() != width.checked_mul(height)?.checked_mul(depth)? || pixels.is_empty() {
        return None;
    }
    let turned = b.abs() > a.abs();
    let (columns, rows) = if turned { (height, width) } else { (width, height) };
    // Which way the page's right and down run in the picture.
    let (mirror_x, mirror_y) = if turned { (b < 0.0, c < 0.0) } else { (a < 0.0, d < 0.0) };
    let mut placed = Vec::with_capacity(pixels.len());
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = if turned { (row, column) } else { (column, row) };
            let x = if mirror_x { width - 1 - x } else { x };
            let y = if mirror_y { height - 1 - y } else { y };
            let at = (y * width + x) * depth;
            placed.extend_from_slice(&pixels[at..at + depth]);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(columns).ok()?, u32::try_from(rows).ok()?);
    encoder.set_color(if depth == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header().ok()?.write_image_data(&placed).ok()?;
    Some(bytes)
}

/// The text that a command reads in a picture.
///
/// # Errors
/// If it cannot be started, fails, or takes too long: why, as the end of a sentence that the page begins.
pub(super) fn read(command: &[String], picture: Picture) -> io::Result<Result<String, String>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(Ok(String::new())) };
    run(program, arguments, picture, Duration::from_secs(OCR_SECONDS))
}

fn run(program: &str, arguments: &[String], picture: Picture, limit: Duration) -> io::Result<Result<String, String>> {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child =
        child.map_err(|error| io::Error::new(error.kind(), format!("the command of ocr, `{program}`, does not start: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // It may end without reading all; what it then writes counts.
        thread::spawn(move || input.write_all(&picture.0));
    }
    let (sender, text) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(TEXT_BYTES).read_to_end(&mut bytes);
            // Nobody listens after the limit.
            let _ = sender.send(read.map(|_| bytes));
        });
    }
    let read = text.recv_timeout(limit);
    if read.is_err() {
        let _ = child.kill();
    }
    let Ok(read) = read else {
        child.wait()?;
        return Ok(Err(format!("is not read: the command of ocr takes more than {} seconds", limit.as_secs())));
    };
    let bytes = read?;
    // It has closed its output, and may not end still.
    let deadline = std::time::Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if std::time::Instant::now() > deadline => {
                let _ = child.kill();
                break child.wait()?;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Ok(Err(format!("is not read: the command of ocr fails ({status})")));
    }
    Ok(Ok(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, String> {
        run("sh", &["-c".into(), script.into()], Picture(b"picture".to_vec()), limit).unwrap()
    }

    #[test]
    fn commands_are_bounded() {
        let long = Duration::from_secs(10);
        assert_eq!(shell("cat", long), Ok("picture".into()));
        assert_eq!(shell("echo text", long), Ok("text\n".into()));
        assert!(shell("exit 3", long).unwrap_err().contains("fails"));
        assert!(shell("exec sleep 20", Duration::from_millis(100)).unwrap_err().contains("more than 0 seconds"));
        assert!(
            run("/does/not/exist", &[], Picture(Vec::new()), long).unwrap_err().to_string().contains("`/does/not/exist`, does not start")
        );
    }

    #[test]
    fn pictures_are_turned_upright() {
        // Two pixels beside each other: 1 2.
        let decode = |coefficients| {
            let png = encode(&[1, 2], 1, 2, 1, coefficients).unwrap();
            let mut reader = png::Decoder::new(io::Cursor::new(png)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            (info.width, info.height, pixels)
        };
        assert_eq!(decode([1.0, 0.0, 0.0, 1.0]), (2, 1, vec![1, 2]));
        assert_eq!(decode([-1.0, 0.0, 0.0, -1.0]), (2, 1, vec![2, 1]));
        assert_eq!(decode([0.0, 1.0, -1.0, 0.0]), (1, 2, vec![1, 2]));
        assert_eq!(decode([0.0, -1.0, 1.0, 0.0]), (1, 2, vec![2, 1]));
        assert!(encode(&[1], 3, 2, 1, [1.0, 0.0, 0.0, 1.0]).is_none());
    }
}
