//! What the relay does wrong on request.

/// What the relay does wrong; see [`Platform::break_relay`](crate::Platform::break_relay).
///
/// What it answers before the connection is a WebSocket is told as for other HTTP calls, with
/// [`Route::Tunnel`](crate::Route::Tunnel): a status such as 401 or 503, silence, bytes that are no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RelayFault {
    /// Nothing.
    #[default]
    None,
    /// It sends bytes that are no frames.
    Garbage,
    /// It sends the content in text frames.
    TextFrames,
    /// It masks its frames, which only clients may.
    MaskedFrames,
    /// It sends the content in messages of several frames, each with so many bytes at most. That is allowed.
    Fragments(usize),
    /// It sends the content in frames of so many bytes, and gathers as long as there are fewer. That is allowed.
    LargeFrames(usize),
    /// It announces one frame of so many bytes, and sends the content as the beginning of that.
    EndlessFrame(u64),
    /// It sends a close frame with that code as soon as the tunnel is open, and ends the connection.
    CloseWith(u16),
    /// It ends the connection after so many bytes of content, counted in both directions, without a close frame.
    CutAfter(u64),
    /// It neither reads nor sends any more after so many bytes of content, counted in both directions, and leaves
    /// the connection open.
    StallAfter(u64),
    /// It does not answer pings.
    NoPongs,
}
