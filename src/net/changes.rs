//! What the system says of its network: that an address, a route or a link has come or gone (Linux: rtnetlink).
//!
//! One socket in somebody's poller, no thread. Where it is not to be had, as in a sandbox without netlink, nothing is
//! said, and all goes on by the clock.

/// What was heard, in the order in which it helps: first what is lost, then what is back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// An address, a default route or a link has gone.
    pub lost: bool,
    /// One has come: what could not be reached may be within reach.
    pub back: bool,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::NetworkChanges;
#[cfg(not(target_os = "linux"))]
pub(crate) use nowhere::NetworkChanges;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

    use super::Changes;
    use super::messages::{GROUPS, Links};

    /// More than the kernel puts into one datagram of events.
    const DATAGRAM_BYTES: usize = 32 << 10;
    /// Of one look; what is left is looked at the next time, or was the same.
    const DATAGRAMS_MAX: usize = 256;

    /// A socket on which the kernel tells of changes.
    pub(crate) struct NetworkChanges {
        socket: OwnedFd,
        links: Links,
    }

    impl NetworkChanges {
        /// Registers with a poller; none where the system does not allow it.
        pub fn open(registry: &Registry, token: Token) -> Option<NetworkChanges> {
            let opened = listen(registry, token);
            let socket = opened
                .inspect_err(|error| {
                    log::debug!("the system does not tell of its network: {error}")
                })
                .ok()?;
            Some(NetworkChanges {
                socket,
                links: Links::default(),
            })
        }

        /// All that was said since the last time.
        pub fn read(&mut self) -> Changes {
            let socket = &self.socket;
            read(&mut self.links, |buffer| {
                recv(socket, buffer, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes)
            })
        }
    }

    fn read(
        links: &mut Links,
        mut recv: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        for _ in 0..DATAGRAMS_MAX {
            match recv(&mut buffer) {
                Ok(bytes) => {
                    let datagram = buffer.get(..bytes).unwrap_or_default();
                    links.hear(datagram, &mut changes);
                }
                // More happened than the socket holds: anything may have come back.
                Err(Errno::NOBUFS) => changes.back = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        changes
    }

    fn listen(registry: &Registry, token: Token) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // The protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        registry.register(
            &mut SourceFd(&socket.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        Ok(socket)
    }
    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn when_more_happened_than_the_socket_holds_the_network_may_be_back() {
            let read = |answers: &[Errno]| {
                let mut answers = answers.iter();
                let changes = read(&mut Links::default(), |_| Err(*answers.next().unwrap()));
                assert_eq!(answers.len(), 0, "all is read");
                (changes.lost, changes.back)
            };
            assert_eq!(read(&[Errno::NOBUFS, Errno::AGAIN]), (false, true));
            assert_eq!(read(&[Errno::INTR, Errno::AGAIN]), (false, false));
        }

        #[test]
        fn one_that_always_has_more_is_left_for_the_next_time() {
            let mut reads = 0;
            read(&mut Links::default(), |_| {
                reads += 1;
                Ok(0)
            });
            assert_eq!(reads, DATAGRAMS_MAX);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use mio::{Registry, Token};

    use super::Changes;

    /// Nobody tells, so there is none.
    pub(crate) enum NetworkChanges {}

    impl NetworkChanges {
        pub fn open(_: &Registry, _: Token) -> Option<NetworkChanges> {
            None
        }

        pub fn read(&mut self) -> Changes {
            match *self {}
        }
    }
}

/// rtnetlink's messages, as far as they matter here (`rtnetlink(7)`, `linux/rtnetlink.h`, `linux/if.h`). Pure.
#[cfg(any(target_os = "linux", test))]
mod messages {
    use super::Changes;

    /// RTMGRP_LINK, and addresses and routes of IPv4 and IPv6.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "for tests"))]
    pub const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

    const HEADER_BYTES: usize = 16;
    const RTM_NEWLINK: u16 = 16;
    const RTM_DELLINK: u16 = 17;
    const RTM_NEWADDR: u16 = 20;
    const RTM_DELADDR: u16 = 21;
    const RTM_NEWROUTE: u16 = 24;
    const RTM_DELROUTE: u16 = 25;
    const IFF_LOOPBACK: u32 = 0x8;
    const IFF_RUNNING: u32 = 0x40;
    const RT_TABLE_MAIN: u8 = 254;
    const RTN_UNICAST: u8 = 1;

    /// Which links are known to run: they are told of for many reasons, and only a change is news.
    #[derive(Default)]
    pub struct Links(Vec<(u32, bool)>);

    impl Links {
        /// Takes what a datagram says.
        pub fn hear(&mut self, mut datagram: &[u8], changes: &mut Changes) {
            while let (Some(length), Some(kind)) = (u32_at(datagram, 0), u16_at(datagram, 4)) {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let Some(body) = datagram.get(HEADER_BYTES..length) else {
                    return;
                };
                self.hear_one(kind, body, changes);
                let next = length.next_multiple_of(4);
                datagram = datagram.get(next..).unwrap_or_default();
            }
        }

        fn hear_one(&mut self, kind: u16, body: &[u8], changes: &mut Changes) {
            match kind {
                RTM_NEWADDR => changes.back = true,
                RTM_DELADDR => changes.lost = true,
                RTM_NEWROUTE if is_way(body) => changes.back = true,
                RTM_DELROUTE if is_way(body) && body.get(1) == Some(&0) => changes.lost = true,
                RTM_NEWLINK | RTM_DELLINK => {
                    let (Some(index), Some(flags)) = (u32_at(body, 4), u32_at(body, 8)) else {
                        return;
                    };
                    if flags & IFF_LOOPBACK == 0 {
                        let is_running = kind == RTM_NEWLINK && flags & IFF_RUNNING != 0;
                        self.link(index, is_running, changes);
                    }
                    if kind == RTM_DELLINK {
                        self.0.retain(|(known, _)| *known != index);
                    }
                }
                _ => {}
            }
        }

        /// The first word of a link that runs is no news; that one does not run may be.
        fn link(&mut self, index: u32, is_running: bool, changes: &mut Changes) {
            let known = self.0.iter_mut().find(|(known, _)| *known == index);
            let did_run = match known {
                Some((_, did_run)) => std::mem::replace(did_run, is_running),
                None => {
                    self.0.push((index, is_running));
                    true
                }
            };
            changes.back |= is_running && !did_run;
            changes.lost |= did_run && !is_running;
        }
    }

    /// Whether a route leads to others, and not to the machine itself. Which one it is matters little: with an
    /// address that a link brings back comes the route to its network, and not the default one.
    fn is_way(route: &[u8]) -> bool {
        route.get(4) == Some(&RT_TABLE_MAIN) && route.get(7) == Some(&RTN_UNICAST)
    }

    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const NOTHING: Changes = Changes {
            lost: false,
            back: false,
        };
        const LOST: Changes = Changes {
            lost: true,
            back: false,
        };
        const BACK: Changes = Changes {
            lost: false,
            back: true,
        };

        fn message(kind: u16, body: &[u8]) -> Vec<u8> {
            let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(body);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        }

        fn link(kind: u16, index: u32, flags: u32) -> Vec<u8> {
            let mut body = vec![0; 4];
            body.extend(index.to_ne_bytes());
            body.extend(flags.to_ne_bytes());
            body.extend([0; 4]);
            message(kind, &body)
        }

        fn route(kind: u16, prefix_bits: u8, table: u8, of: u8) -> Vec<u8> {
            message(kind, &[2, prefix_bits, 0, 0, table, 0, 0, of, 0, 0, 0, 0])
        }

        fn hear(links: &mut Links, datagram: &[u8]) -> Changes {
            let mut changes = Changes::default();
            links.hear(datagram, &mut changes);
            changes
        }

        #[test]
        fn addresses_and_routes_to_others_that_come_or_go_are_news() {
            const LOCAL: u8 = 2;
            let cases = [
                (message(RTM_NEWADDR, &[0; 8]), BACK),
                (message(RTM_DELADDR, &[0; 8]), LOST),
                (route(RTM_NEWROUTE, 0, RT_TABLE_MAIN, RTN_UNICAST), BACK),
                (route(RTM_NEWROUTE, 24, RT_TABLE_MAIN, RTN_UNICAST), BACK),
                (route(RTM_NEWROUTE, 32, 255, LOCAL), NOTHING),
                (route(RTM_DELROUTE, 0, RT_TABLE_MAIN, RTN_UNICAST), LOST),
                (route(RTM_DELROUTE, 24, RT_TABLE_MAIN, RTN_UNICAST), NOTHING),
                (message(2, &[0; 20]), NOTHING),
            ];
            for (datagram, expected) in cases {
                assert_eq!(
                    hear(&mut Links::default(), &datagram),
                    expected,
                    "{datagram:?}"
                );
            }
        }

        #[test]
        fn a_link_is_news_only_when_it_changes() {
            let mut links = Links::default();
            let up = link(RTM_NEWLINK, 2, IFF_RUNNING);
            let down = link(RTM_NEWLINK, 2, 0);
            // As a wireless card that is told of at each scan.
            assert_eq!(hear(&mut links, &up), NOTHING);
            assert_eq!(hear(&mut links, &up), NOTHING);
            assert_eq!(hear(&mut links, &down), LOST);
            assert_eq!(hear(&mut links, &down), NOTHING);
            assert_eq!(hear(&mut links, &up), BACK);
            let loopback = link(RTM_NEWLINK, 1, IFF_LOOPBACK);
            assert_eq!(hear(&mut links, &loopback), NOTHING);
            assert_eq!(hear(&mut links, &link(RTM_DELLINK, 2, IFF_RUNNING)), LOST);
            assert!(links.0.is_empty(), "links that come and go leave nothing");
            assert_eq!(hear(&mut links, &link(RTM_NEWLINK, 3, 0)), LOST);
        }

        #[test]
        fn one_datagram_may_hold_several_messages_and_one_that_is_cut_says_nothing() {
            let first = message(RTM_DELADDR, &[0; 9]);
            let both = [first.clone(), message(RTM_NEWADDR, &[0; 8])].concat();
            let changes = hear(&mut Links::default(), &both);
            assert_eq!((changes.lost, changes.back), (true, true));
            for length in 0..first.len() - 3 {
                let cut = &first[..length];
                assert_eq!(hear(&mut Links::default(), cut), NOTHING, "{length}");
            }
            let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
            for _ in 0..1000 {
                let noise: Vec<u8> = (0..random.usize(0..64)).map(|_| random.u8(..)).collect();
                hear(&mut Links::default(), &noise);
            }
            hear(&mut Links::default(), &[0; 64]);
        }
    }
}
