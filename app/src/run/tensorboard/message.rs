//! The few fields of TensorBoard's messages that are written, in the wire format of Protocol Buffers.
//!
//! `Event { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary,
//! 7: SessionLog session_log }`, `Summary { 1: repeated Value { 1: string tag, 2: float simple_value } }`,
//! `SessionLog { 1: enum status }`; tensorboard/compat/proto/event.proto and summary.proto.

/// `SessionLog.START`: older files do not count from this event's step on.
const START: u64 = 1;

/// A message under construction.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// What every file opens with; from version 2 on a start forgets later steps.
    pub fn version(time: f64) -> Self {
        Self::default().double(1, time).bytes(3, b"brain.Event:2")
    }

    /// A run begins, or goes on, with `step`.
    pub fn start(time: f64, step: u64) -> Self {
        let session = Self::default().varint(1, START);
        Self::default().double(1, time).varint(2, step).bytes(7, &session.0)
    }

    /// Numbers of one step.
    pub fn scalars(time: f64, step: u64, values: &[(&str, f64)]) -> Self {
        let summary = values.iter().fold(Self::default(), |summary, (tag, value)| {
            let value = Self::default().bytes(1, tag.as_bytes()).float(2, *value as f32);
            summary.bytes(1, &value.0)
        });
        Self::default().double(1, time).varint(2, step).bytes(5, &summary.0)
    }

    /// The bytes of the message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u8, wire_type: u8) {
        self.0.push(field << 3 | wire_type); // all fields are below 16
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(mut self, field: u8, value: u64) -> Self {
        self.key(field, 0);
        self.number(value);
        self
    }

    fn double(mut self, field: u8, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.key(field, 2);
        self.number(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn float(mut self, field: u8, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_has_the_bytes_of_the_reference() {
        // tensorboard 2.21: Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(
        // tag="a", simple_value=0.5)])).SerializeToString()
        let expected = [
            0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08, 0x0a,
            0x01, b'a', 0x15, 0, 0, 0, 0x3f,
        ];
        assert_eq!(Message::scalars(1.5, 300, &[("a", 0.5)]).into_bytes(), expected);
    }
}
