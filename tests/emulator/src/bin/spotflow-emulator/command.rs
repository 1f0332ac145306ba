//! The commands as they are written in JSON.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use spotflow_emulator::{Blockage, RelayFault, Route, Way};

#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    Operations,
    WaitOperation {
        timeout: f64,
    },
    Approve {
        operation: String,
        device: Option<String>,
    },
    Refuse {
        operation: String,
    },
    ExpireOperation {
        operation: String,
    },
    AddProvisioningToken {
        device: Option<String>,
        workspace: Option<String>,
    },
    RevokeProvisioningToken {
        token: String,
    },
    Devices,
    DeleteDevice {
        device: String,
    },
    RevokeRegistrationTokens {
        device: String,
    },
    ExpireSas {
        device: String,
    },
    DisableWorkspace {
        disabled: bool,
    },
    Desired {
        device: String,
        properties: Option<Value>,
    },
    PatchDesired {
        device: String,
        patch: Value,
    },
    Reported {
        device: String,
    },
    ReportedPatches {
        device: String,
    },
    WaitReported {
        device: String,
        properties: Value,
        timeout: f64,
    },
    ResetTwin {
        device: String,
    },
    Send {
        device: String,
        text: Option<String>,
        payload: Option<String>,
        properties: Option<BTreeMap<String, String>>,
    },
    CloudMessagesWaiting {
        device: String,
    },
    WaitCloudMessages {
        device: String,
        waiting: usize,
        timeout: f64,
    },
    CallMethod {
        device: String,
        method: String,
        #[serde(default, deserialize_with = "present")]
        payload: Option<Value>,
        raw: Option<String>,
        timeout: f64,
    },
    BeginMethod {
        device: String,
        method: String,
        #[serde(default, deserialize_with = "present")]
        payload: Option<Value>,
        raw: Option<String>,
        timeout: f64,
    },
    WaitMethod {
        number: u64,
        timeout: f64,
    },
    MethodCalls,
    DroppedMethodAnswers,
    Forward {
        device: String,
        port: u16,
        local_port: Option<u16>,
    },
    StopForwarding {
        local_port: u16,
    },
    Forwardings,
    Tunnels,
    WaitTunnels {
        open: Option<usize>,
        ended: Option<usize>,
        timeout: f64,
    },
    BreakRelay {
        fault: RelayFaultName,
        number: Option<u64>,
    },
    MendRelay,
    Messages {
        device: Option<String>,
        after: Option<u64>,
    },
    WaitMessages {
        count: usize,
        timeout: f64,
    },
    ClearMessages,
    Uploads,
    StorageWrites,
    WaitStorageWrites {
        count: usize,
        timeout: f64,
    },
    UncommittedBlocks {
        device: String,
        blob_name: String,
    },
    ExpireUploads,
    ExpireUploadSas,
    RefuseBlocks {
        refuse: bool,
    },
    StorageRate {
        bytes_per_second: Option<f64>,
    },
    CutStorageAfter {
        bytes: Option<u64>,
    },
    Connections,
    WaitConnected {
        device: String,
        connected: bool,
        timeout: f64,
    },
    Subscriptions {
        device: String,
    },
    Requests,
    Traffic,
    Acknowledge {
        mode: AckModeName,
        seconds: Option<f64>,
    },
    ReleaseAcknowledgements,
    CutAfterMessages {
        count: u64,
        point: CutPointName,
    },
    CloseConnections,
    CloseConnection {
        device: String,
    },
    RefuseConnects {
        code: u8,
        count: Option<u64>,
    },
    RefuseMessages {
        refuse: bool,
    },
    ThrottleMessages {
        per_second: f64,
        burst: u32,
    },
    StopThrottling,
    GoSilent {
        silent: bool,
    },
    AcceptConnections {
        accept: bool,
    },
    Block {
        way: WayName,
        blockage: BlockageName,
    },
    Unblock {
        way: WayName,
    },
    WebsocketFrameBytes {
        bytes: Option<NonZeroUsize>,
    },
    ForgetSessions,
    TwinStatus {
        status: u16,
        count: u64,
    },
    HttpStatus {
        route: RouteName,
        status: u16,
        problem_type: Option<String>,
        count: u64,
    },
    HttpAnswer {
        route: RouteName,
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
        text: Option<String>,
        body: Option<String>,
        count: Option<u64>,
    },
    HttpHang {
        route: RouteName,
        hang: bool,
    },
    ClearHttpFaults,
    Quit,
}

/// Tells `null` from what is left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AckModeName {
    Immediately,
    After,
    Withhold,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CutPointName {
    BeforeAck,
    AfterAck,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WayName {
    Mqtt,
    WebSocket,
    Https,
}

impl From<WayName> for Way {
    fn from(name: WayName) -> Self {
        match name {
            WayName::Mqtt => Self::Mqtt,
            WayName::WebSocket => Self::WebSocket,
            WayName::Https => Self::Https,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlockageName {
    Refused,
    Silent,
    Cut,
    Foreign,
}

impl From<BlockageName> for Blockage {
    fn from(name: BlockageName) -> Self {
        match name {
            BlockageName::Refused => Self::Refused,
            BlockageName::Silent => Self::Silent,
            BlockageName::Cut => Self::Cut,
            BlockageName::Foreign => Self::Foreign,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RelayFaultName {
    Garbage,
    TextFrames,
    MaskedFrames,
    Fragments,
    LargeFrames,
    EndlessFrame,
    CloseWith,
    CutAfter,
    StallAfter,
    NoPongs,
}

impl RelayFaultName {
    /// The fault, with the number that some of them take.
    pub fn with(self, number: Option<u64>) -> Result<RelayFault, Box<dyn std::error::Error>> {
        let needed = || number.ok_or("this fault needs a number");
        Ok(match self {
            Self::Garbage => RelayFault::Garbage,
            Self::TextFrames => RelayFault::TextFrames,
            Self::MaskedFrames => RelayFault::MaskedFrames,
            Self::NoPongs => RelayFault::NoPongs,
            Self::Fragments => RelayFault::Fragments(needed()?.try_into()?),
            Self::LargeFrames => RelayFault::LargeFrames(needed()?.try_into()?),
            Self::EndlessFrame => RelayFault::EndlessFrame(needed()?),
            Self::CloseWith => RelayFault::CloseWith(needed()?.try_into()?),
            Self::CutAfter => RelayFault::CutAfter(needed()?),
            Self::StallAfter => RelayFault::StallAfter(needed()?),
        })
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RouteName {
    Init,
    Complete,
    Register,
    Refresh,
    FileUpload,
    BlobPut,
    BlockPut,
    BlockListPut,
    FileNotification,
    HubWebSocket,
    Tunnel,
    Any,
}

impl From<RouteName> for Route {
    fn from(name: RouteName) -> Self {
        match name {
            RouteName::Init => Self::Init,
            RouteName::Complete => Self::Complete,
            RouteName::Register => Self::Register,
            RouteName::Refresh => Self::Refresh,
            RouteName::FileUpload => Self::FileUpload,
            RouteName::BlobPut => Self::BlobPut,
            RouteName::BlockPut => Self::BlockPut,
            RouteName::BlockListPut => Self::BlockListPut,
            RouteName::FileNotification => Self::FileNotification,
            RouteName::HubWebSocket => Self::HubWebSocket,
            RouteName::Tunnel => Self::Tunnel,
            RouteName::Any => Self::Any,
        }
    }
}

impl From<Route> for RouteName {
    fn from(route: Route) -> Self {
        match route {
            Route::Init => Self::Init,
            Route::Complete => Self::Complete,
            Route::Register => Self::Register,
            Route::Refresh => Self::Refresh,
            Route::FileUpload => Self::FileUpload,
            Route::BlobPut => Self::BlobPut,
            Route::BlockPut => Self::BlockPut,
            Route::BlockListPut => Self::BlockListPut,
            Route::FileNotification => Self::FileNotification,
            Route::HubWebSocket => Self::HubWebSocket,
            Route::Tunnel => Self::Tunnel,
            // What is none of the others.
            _ => Self::Any,
        }
    }
}
